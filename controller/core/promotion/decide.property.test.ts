import fc from 'fast-check';
import semver from 'semver';
import { describe, expect, test } from 'vitest';
import { start } from './decide.fixture.ts';
import { decidePromotion } from './decide.ts';
import { isSame } from './equal.ts';
import { nameKey } from './name.ts';
import { event, happen, stages } from './story.fixture.ts';
import type { PromotionDecision, PromotionFact, PromotionFacts, PromotionRow } from './types.ts';
import { createWorld, isAncestor, settle, type World } from './world.fixture.ts';

/** Random stories: after each event every stage decides until it comes to rest, and `check` sees every decision. */
function play(check: (world: World, facts: PromotionFacts, decision: PromotionDecision) => void): void {
  const story = fc.array(event, { minLength: 20, maxLength: 60, size: 'max' });
  fc.assert(
    fc.property(stages, story, ([dev, staging, prod], happening) => {
      const world = createWorld([
        ['dev', dev],
        ['staging', staging],
        ['prod', prod],
      ]);
      for (const next of happening) {
        happen(world, next);
        settle(world, (facts, decision) => check(world, facts, decision));
      }
    }),
    { numRuns: 50 },
  );
}

describe('whatever happens, in whatever order', () => {
  test('nothing becomes active while a gate is closed', () => {
    const letIn: Record<string, number> = {};
    play((world, facts, decision) => {
      for (const row of letInBy(facts, decision)) {
        letIn[row.environment] = (letIn[row.environment] ?? 0) + 1;
        const fact = facts.promotions.find((other) => other.row.id === row.id);
        expect(fact && whyClosed(world, facts, fact, row)).toEqual([]);
        expect(row.gates.every((gate) => gate.open)).toBe(true);
      }
      const workflows = letInBy(facts, decision).flatMap((row) => row.changes.map((change) => change.workflow));
      expect(decision.activate.map((entry) => entry.workflow).toSorted()).toEqual(workflows.toSorted());
      expect(new Set(workflows).size).toBe(workflows.length);
    });
    // The stories do get that far.
    for (const stage of ['dev', 'staging', 'prod']) expect(letIn[stage]).toBeGreaterThan(0);
  });

  test('deciding again changes nothing', () => {
    play((_, facts, decision) => {
      if (decision.wakeAt !== null) return;
      const again = decidePromotion(after(facts, decision), start + 1e9);
      expect(again).toMatchObject({ promotions: [], activate: [], names: [], events: [] });
      expect(again.create).toEqual(decision.create);
    });
  });

  test('an older version never replaces a newer one by itself', () => {
    play((world, facts, decision) => {
      const active = new Map(facts.active.map((version) => [version.workflow, version]));
      const back = letInBy(facts, decision).filter(
        (row) =>
          row.automatic &&
          row.changes.some(({ workflow }) => {
            const before = active.get(workflow);
            return before !== undefined && isOlder(world, row, before);
          }),
      );
      expect(back).toEqual([]);
    });
  });

  test('what has ended stays as it ended, but for a notice', () => {
    play((_, facts, decision) => {
      const ended = new Map(facts.promotions.map(({ row }) => [row.id, row]));
      const rewritten = decision.promotions.filter((row) => {
        const before = ended.get(row.id);
        return before && before.finishedAt !== null && !isSame({ ...row, message: before.message }, before);
      });
      expect(rewritten).toEqual([]);
    });
  });

  test('nothing happens in a suspended environment, and no ref is tried twice', () => {
    play((_, facts, decision) => {
      const { create, promotions, activate } = decision;
      expect(facts.environment.spec.suspend ? [...create, ...promotions, ...activate] : []).toEqual([]);
      const tried = new Set(facts.promotions.map(({ row }) => `${row.ref} ${row.commit}`));
      expect(create.filter((ref) => tried.has(`${ref.ref} ${ref.commit}`))).toEqual([]);
    });
  });
});

/** The rows that this decision lets in; one that was let in before may come again with a notice. */
function letInBy(facts: PromotionFacts, decision: PromotionDecision): PromotionRow[] {
  const ended = new Set(facts.promotions.flatMap(({ row }) => (row.finishedAt === null ? [] : [row.id])));
  return decision.promotions.filter(({ id, reason }) => reason === 'Promoted' && !ended.has(id));
}

/** The gates said once more, as plainly as the design says them. */
function whyClosed(world: World, facts: PromotionFacts, fact: PromotionFact, row: PromotionRow): string[] {
  const closed: string[] = [];
  const { after: names = [], gates = [] } = facts.environment.spec;
  if (!isAncestor(world, row.commit ?? '', world.tip)) closed.push('not on branch');
  for (const name of names) {
    const upstream = facts.upstream.get(name);
    for (const { workflow, to } of row.changes) {
      const there = upstream?.active.some((active) => active.workflow === workflow);
      if (to === undefined && there) closed.push(`${workflow} is not retired in ${name}`);
      if (to !== undefined && !upstream?.history.some((had) => had.workflow === workflow && had.digest === to)) {
        closed.push(`${workflow} never was in ${name}`);
      }
      for (const { upstream: gate } of [...gates, ...(row.gatesAtStart ?? [])]) {
        if (!gate || to === undefined) continue;
        const runs = upstream?.runs.find((had) => had.workflow === workflow && had.digest === to);
        if (!runs || runs.finished < gate.runs || runs.succeeded < runs.finished * (gate.successRate ?? 1)) {
          closed.push(`${workflow} did not do well in ${name}`);
        }
      }
    }
  }
  for (const { approval: gate } of [...gates, ...(row.gatesAtStart ?? [])]) {
    if (!gate) continue;
    const may = fact.approvals.filter(
      ({ groups }) => !gate.groups || groups?.some((group) => gate.groups?.includes(group)),
    );
    const authors = new Set(fact.authors?.map((author) => author.name.toLowerCase()));
    const yes = new Set(
      may.map(({ user }) => user.toLowerCase()).filter((user) => !gate.notAuthor || !authors.has(user)),
    );
    if (gate.notAuthor && !fact.authors) closed.push('authors unknown');
    if (yes.size < (gate.count ?? 1)) closed.push('too few approvals');
    if (may.some(({ decision }) => decision === 'Reject')) closed.push('rejected');
  }
  return closed;
}

function isOlder(world: World, row: PromotionRow, active: { ref: string; commit: string }): boolean {
  const [mine, theirs] = [row.ref, active.ref].map((ref) => semver.parse(ref.split('/').at(-1)));
  if (mine && theirs) return semver.lt(mine, theirs);
  return row.commit !== active.commit && isAncestor(world, row.commit ?? '', active.commit);
}

/** The facts once the decision is recorded, all else being equal. */
function after(facts: PromotionFacts, decision: PromotionDecision): PromotionFacts {
  const active = new Map(facts.active.map((version) => [version.workflow, version]));
  for (const { workflow, digest, ref, commit: hash, at } of decision.activate) {
    if (digest === null) active.delete(workflow);
    else active.set(workflow, { workflow, digest, ref, commit: hash, since: at });
  }
  const names = decision.names.map(nameKey);
  return {
    ...facts,
    active: [...active.values()],
    promotions: facts.promotions.map((fact) => ({
      ...fact,
      row: decision.promotions.find((row) => row.id === fact.row.id) ?? fact.row,
    })),
    knownNames: new Set([...facts.knownNames, ...names]),
  };
}
