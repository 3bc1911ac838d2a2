import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { formatDiagnostic } from '../diagnostic.ts';
import { checkFile } from './index.ts';

const root = new URL('../../../test/fixtures/lint/', import.meta.url);

function lint(folder: string, file: string): string {
  const { diagnostics } = checkFile(file, readFileSync(new URL(`${folder}/${file}`, root)));
  return diagnostics.map((d) => `${formatDiagnostic(d)}\n`).join('');
}

function files(folder: string): string[] {
  return readdirSync(new URL(folder, root)).filter((file) => file.endsWith('.yaml'));
}

describe('files that are good give no diagnostics', () => {
  test.each(files('ok'))('%s', (file) => {
    expect(lint('ok', file)).toBe('');
  });
});

describe('files that are bad give exactly those of the .out file beside them', () => {
  test.each(files('err'))('%s', (file) => {
    const expected = readFileSync(new URL(`err/${file.replace('.yaml', '.out')}`, root), 'utf8');
    expect(expected, 'an empty .out belongs to ok/').not.toBe('');
    expect(lint('err', file)).toBe(expected);
  });
});
