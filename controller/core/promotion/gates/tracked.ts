import type { EnvironmentSpec } from '../../../../crds/environment.ts';
import { inRange, isCommit, parseTag } from '../tag.ts';
import type { GateResult, PromotionRow } from '../types.ts';

/**
 * What the controller picked is still what the environment asks for: its spec may have changed while the promotion
 * waited. Nothing to say of promotions made by hand.
 */
export function judgeTracked(spec: EnvironmentSpec, row: PromotionRow): GateResult[] {
  if (!row.automatic) return [];
  if (spec.promote === 'Manual') {
    const message = 'The environment takes only promotions made by hand now.';
    return [{ gate: 'promote', open: false, message }];
  }
  if (isTracked(spec, row.ref)) return [];
  return [{ gate: 'track', open: false, message: `The environment does not track ${row.ref} any more.` }];
}

function isTracked({ track }: EnvironmentSpec, ref: string): boolean {
  if (track.branch !== undefined) return isCommit(ref);
  if (track.tag === undefined) return track.upstream === true;
  const tag = parseTag(ref);
  return tag !== null && inRange(track.tag.semver, tag);
}
