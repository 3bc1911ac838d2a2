import { expect, test } from 'vitest';
import { readArtifactLocation } from './location.ts';

const aws = { kind: 's3', region: 'us-east-1', endpoint: 'https://s3.us-east-1.amazonaws.com', pathStyle: false };

test.each([
  ['/var/lib/artifacts', { kind: 'directory', path: '/var/lib/artifacts' }],
  ['kept here', { kind: 'directory', path: 'kept here' }],
  ['s3://team', { ...aws, bucket: 'team', prefix: '' }],
  ['s3://team/', { ...aws, bucket: 'team', prefix: '' }],
  ['s3://team/a/b', { ...aws, bucket: 'team', prefix: 'a/b/' }],
  [
    's3://team?region=eu-central-1',
    { ...aws, bucket: 'team', prefix: '', region: 'eu-central-1', endpoint: 'https://s3.eu-central-1.amazonaws.com' },
  ],
  [
    's3://team/x?endpoint=http://minio:9000',
    { ...aws, bucket: 'team', prefix: 'x/', endpoint: 'http://minio:9000', pathStyle: true },
  ],
  [
    's3://team?endpoint=https://r2.example&pathStyle=false',
    { ...aws, bucket: 'team', prefix: '', endpoint: 'https://r2.example' },
  ],
])('%s is understood', (text, location) => {
  expect(readArtifactLocation(text)).toEqual({ location });
});

test.each([
  ['', 'a folder or a bucket'],
  ['gs://team', 'a folder, or such as s3://'],
  ['s3:', 'must name a bucket'],
  ['s3://', 'must name a bucket'],
  ['s3://Team_1', 'must name a bucket'],
  ['s3://user:password@team', 'must name a bucket'],
  ['s3://team?acl=public', 'there is no acl'],
  ['s3://team?pathStyle=yes', 'true or false'],
  ['s3://team?endpoint=minio:9000', 'http:// or https://'],
  ['s3://team?region=../x', 'is not the name of a region'],
  ['s3://team/a%20b', 'letters, digits'],
])('%s is refused with what to do', (text, problem) => {
  expect(readArtifactLocation(text)).toEqual({ problem: expect.stringContaining(problem) as string });
});
