/** What a step asked for cannot be kept or put into place; the message says why and what to do. Never retried. */
export class ArtifactRefused extends Error {
  override name = 'ArtifactRefused';
}
