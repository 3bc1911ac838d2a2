import type { Client, EnvironmentResource, PromotionDetail, Run } from '../../../api/client.ts';
import type { JsonObject } from '../../../crds/json.ts';
import type { Claims } from './claims.ts';

export type ActiveVersion = EnvironmentResource['active'][number];

/** The workflow of the quickstart. */
const workflow = 'nightly-report';

/** What the team watches: environments, promotions, runs. Everything is read over the HTTP API. */
export interface Observer {
  /** Waits until a ref is the active version of an environment, and can be run there. */
  active(environment: string, ref: string): Promise<ActiveVersion>;
  /** Waits until the promotion of a ref into an environment is as told. */
  promotion(
    environment: string,
    ref: string,
    what: string,
    isSo: (seen: PromotionDetail) => boolean,
  ): Promise<PromotionDetail>;
  /** Runs the workflow in an environment; it must succeed. */
  run(environment: string, inputs: JsonObject): Promise<Run>;
}

export function createObserver(client: Client, claims: Claims): Observer {
  return {
    async active(environment, ref) {
      const find = (seen: EnvironmentResource) => seen.active.find((v) => v.workflow === workflow && v.ref === ref);
      const seen = await claims.becomes(
        `${ref} is active in ${environment}`,
        async () => {
          const { items: workflows } = await client.workflows({ namespace: environment });
          return { ...(await client.environment(environment)), workflows: workflows.map(({ name }) => name) };
        },
        (now) => find(now) !== undefined && now.workflows.includes(workflow),
      );
      return find(seen) as ActiveVersion;
    },
    async promotion(environment, ref, what, isSo) {
      const seen = await claims.becomes(
        `the promotion of ${ref} into ${environment} ${what}`,
        async () => {
          const { items } = await client.promotions({ environment });
          const one = items.find((item) => item.ref === ref);
          return one ? await client.promotion(one.name) : null;
        },
        (now) => now !== null && isSo(now),
      );
      return seen as PromotionDetail;
    },
    async run(environment, inputs) {
      const { metadata } = await client.createRun(environment, { workflow, inputs });
      const run = await claims.becomes(
        `run ${metadata.name} in ${environment} ends`,
        () => client.run(metadata),
        ({ finishedAt }) => finishedAt !== null,
      );
      return claims.holds(`run ${run.name} in ${environment} succeeds`, run, ({ phase }) => phase === 'Succeeded');
    },
  };
}

/** Whether a promotion has been judged, and this gate says so. */
export function isGateOpen({ phase, gates }: PromotionDetail, name: string, open: boolean): boolean {
  return phase === 'Gating' && gates.some((gate) => gate.gate === name && gate.open === open);
}
