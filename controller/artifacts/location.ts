import type { S3Bucket } from './s3-requests.ts';

/** Where artifacts are kept, as `--artifacts` says it. */
export type ArtifactLocation =
  | { kind: 'directory'; path: string }
  | ({ kind: 's3'; prefix: string } & Omit<S3Bucket, 'credentials'>);

const example = 's3://bucket/prefix?region=eu-central-1&endpoint=https://minio.example.org';

/**
 * Reads a folder, or `s3://BUCKET[/PREFIX][?region=…&endpoint=…&pathStyle=true|false]`. Without an endpoint it is AWS; with
 * one the bucket is in the path, as most servers want it, unless `pathStyle` says otherwise.
 */
export function readArtifactLocation(text: string): { location: ArtifactLocation } | { problem: string } {
  if (!text.startsWith('s3:')) {
    if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return { problem: `it must be a folder, or such as ${example}` };
    return text === ''
      ? { problem: 'it must name a folder or a bucket' }
      : { location: { kind: 'directory', path: text } };
  }
  const url = URL.canParse(text) ? new URL(text) : null;
  const bucket = url?.hostname ?? '';
  if (url === null || !/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket) || url.username !== '' || url.port !== '') {
    return { problem: `it must name a bucket, such as ${example}` };
  }
  const { endpoint, region = 'us-east-1', pathStyle, ...others } = Object.fromEntries(url.searchParams);
  const unknown = Object.keys(others);
  if (unknown.length > 0) return { problem: `there is no ${unknown.join(', ')}; there is region, endpoint, pathStyle` };
  if (pathStyle !== undefined && pathStyle !== 'true' && pathStyle !== 'false') {
    return { problem: 'pathStyle must be true or false' };
  }
  if (!/^[a-z0-9-]{1,64}$/.test(region)) return { problem: `${JSON.stringify(region)} is not the name of a region` };
  if (endpoint !== undefined && !(/^https?:\/\//.test(endpoint) && URL.canParse(endpoint))) {
    return { problem: 'endpoint must be a URL that begins with http:// or https://' };
  }
  const prefix = url.pathname.replace(/^\//, '').replace(/\/$/, '');
  if (!/^[A-Za-z0-9._/-]*$/.test(prefix)) return { problem: 'the prefix may have letters, digits, . _ - and / only' };
  return {
    location: {
      kind: 's3',
      bucket,
      prefix: prefix === '' ? '' : `${prefix}/`,
      region,
      endpoint: endpoint ?? `https://s3.${region}.amazonaws.com`,
      pathStyle: pathStyle === undefined ? endpoint !== undefined : pathStyle === 'true',
    },
  };
}
