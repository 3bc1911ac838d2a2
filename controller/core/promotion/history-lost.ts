import type { Environment } from '../../../crds/environment.ts';

/**
 * What a person has to decide when an environment has come further than is recorded, as after restoring an older
 * database; null when all is well. Its status is written after commits, so that one ahead of them proves the loss.
 */
export function lostHistory(
  { metadata, status }: Environment,
  recorded: number,
): { reason: string; message: string } | null {
  const seen = status?.revision ?? 0;
  if (seen <= recorded) return null;
  const { namespace, name } = metadata;
  const accept = `kubectl patch environment ${name} -n ${namespace} --subresource=status --type=merge -p '{"status":{"revision":0}}'`;
  return {
    reason: 'HistoryLost',
    message:
      `This environment has come to revision ${seen}, but only ${recorded} is recorded, as after restoring an older database. ` +
      `Nothing is applied, promoted or rolled back. Restore a newer database; or, to go on from what is recorded: ${accept}`,
  };
}
