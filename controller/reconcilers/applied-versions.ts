import type { Workflow } from '../../crds/workflow.ts';
import type { Instant } from '../core/time.ts';
import type { Clock } from '../seams/clock.ts';
import type { VersionHistory } from '../store/types.ts';
import { judgeWorkflow } from './judge-workflow.ts';

/** What a Workflow that was applied by hand is as a version, or why it cannot be one. */
export type AppliedVersion = { digest: string } | { message: string };

export interface AppliedVersions {
  /** Judges and stores it, once for all runs that ask at about the same time. */
  of(workflow: Workflow): Promise<AppliedVersion>;
}

/** After this it is stored again, as the database may have been restored meanwhile from a copy that does not have it. */
const trustMs = 10_000;
const kept = 500;

export function createAppliedVersions(versions: Pick<VersionHistory, 'put'>, clock: Clock): AppliedVersions {
  const known = new Map<string, { version: Promise<AppliedVersion>; until: Instant }>();

  async function store(workflow: Workflow): Promise<AppliedVersion> {
    const judged = judgeWorkflow(workflow);
    if (!judged.ok) return { message: judged.message };
    await versions.put([judged.snapshot], new Map(), clock.now());
    return { digest: judged.snapshot.digest };
  }

  return {
    of(workflow) {
      const { uid, generation } = workflow.metadata;
      const id = `${uid}/${generation}`;
      const now = clock.now();
      const before = known.get(id);
      if (before && now < before.until) return before.version;
      const version = store(workflow);
      known.delete(id);
      known.set(id, { version, until: now + trustMs });
      version.catch(() => {
        if (known.get(id)?.version === version) known.delete(id);
      });
      const [oldest] = known.keys();
      if (known.size > kept && oldest !== undefined) known.delete(oldest);
      return version;
    },
  };
}
