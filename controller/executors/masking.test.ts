import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { containsSecret, Masker, maskText } from './masking.ts';

const secret = 'p@ss "w/ord"+1';

describe('masking', () => {
  test.each([
    ['raw', secret],
    ['URL-escaped', encodeURIComponent(secret)],
    ['as a form field', new URLSearchParams({ a: secret }).toString().slice(2)],
    ['JSON-escaped', JSON.stringify(secret).slice(1, -1)],
    ['base64', Buffer.from(secret).toString('base64').replace(/=+$/, '')],
    ['base64url', Buffer.from(secret).toString('base64url')],
  ])('%s', (_form, shown) => {
    expect(maskText(`a ${shown} b`, [secret])).toBe('a *** b');
    expect(containsSecret(`a ${shown} b`, [secret])).toBe(true);
  });

  test.each(['', 'u', 'us', 'user:', 'user12:'])('base64 after %j: nothing that could be decoded is left', (before) => {
    const shown = Buffer.from(`${before}${secret}tail`).toString('base64');
    const masked = maskText(shown, [secret]);
    expect(masked).toContain('***');
    expect(Buffer.from(masked.replaceAll('***', ''), 'base64').toString('latin1')).not.toContain(secret.slice(2, -2));
  });

  test('lines of a key are hidden one by one', () => {
    const key = '-----BEGIN KEY-----\nabcdefghijkl\nmnopqrstuvwx\n-----END KEY-----\n';
    expect(maskText('  mnopqrstuvwx  ok', [key])).toBe('  ***  ok');
  });

  test('what overlaps or touches is hidden once', () => {
    expect(maskText('xaaaay', ['aa'])).toBe('x***y');
    expect(maskText('xabcdy', ['abc', 'bcd'])).toBe('x***y');
  });

  test('no secret and an empty one hide nothing', () => {
    expect(maskText('anything', [])).toBe('anything');
    expect(maskText('anything', [''])).toBe('anything');
    expect(containsSecret('anything', [''])).toBe(false);
  });

  test('how the bytes are cut into chunks makes no difference, and no secret gets through', () => {
    const alphabet = fc.constantFrom('a', 'b', 'ab', 'abab', '\n', 'ä', '\0', 'abcabc');
    const texts = fc.array(alphabet, { maxLength: 60 }).map((parts) => parts.join(''));
    const secrets = fc.array(fc.constantFrom('ab', 'abab', 'bä', 'a\nb', 'abcabcab'), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(texts, secrets, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (text, values, sizes) => {
        const bytes = Buffer.from(text);
        const masker = new Masker(values);
        const shown: Buffer[] = [];
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const size = sizes[i % sizes.length] ?? 1;
          // The memory of a chunk is used again, as a reader of files does.
          const chunk = Buffer.from(bytes.subarray(at, at + size));
          shown.push(Buffer.from(masker.push(chunk)));
          chunk.fill(0x21);
          at += size;
        }
        shown.push(masker.end());
        const whole = Buffer.concat(shown).toString();
        expect(whole).toBe(maskText(text, values));
        for (const value of values) expect(whole.replaceAll('***', '\u0001')).not.toContain(value);
      }),
      { numRuns: 500 },
    );
  });
});
