/**
 * Why YAML 1.1 (kubectl) and YAML 1.2 read this plain scalar differently, or null when they agree. Without this check a
 * file would mean one thing when applied with kubectl and another when read from git.
 */
export function ambiguity(source: string): string | null {
  if (/^(y|Y|yes|Yes|YES|n|N|no|No|NO|on|On|ON|off|Off|OFF)$/.test(source)) {
    return 'a boolean in YAML 1.1 and text in YAML 1.2; write true or false, or quote it';
  }
  if (source === '~') return 'unclear; write null, or quote it';
  if (source === '<<') return 'a merge key in YAML 1.1 and text in YAML 1.2; write the fields out';
  if (/^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$/.test(source)) return 'no JSON number; quote it if it is text';
  if (/^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$/.test(source)) {
    return 'a number to base 60 in YAML 1.1 and text in YAML 1.2; quote it';
  }
  const digits = source.replaceAll('_', '');
  const isNumber = plainNumber.test(digits) || basedNumber.test(digits);
  if (digits !== source && isNumber) return 'a number in YAML 1.1 and text in YAML 1.2; quote it or drop the _';
  if (/^[-+]?0[0-9]+$/.test(source)) return 'an octal number in YAML 1.1 and a decimal one in YAML 1.2; quote it';
  if (basedNumber.test(source) && !/^0x[0-9a-fA-F]+$/.test(source)) {
    return 'a number in one YAML version and not the same in another; quote it, or write it in decimal';
  }
  return null;
}

const plainNumber = /^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$/;
const basedNumber = /^[-+]?0([bB][01]+|[oO][0-7]+|[xX][0-9a-fA-F]+)$/;
