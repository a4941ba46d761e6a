// Numbers as text, and text as numbers.

// Seven significant digits, so that nothing moves while a value changes.
export function shown(value) {
  if (Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const plainly = size === 0 || (size >= 1e-3 && size < 1e6);
  return (plainly ? value.toPrecision(7) : value.toExponential(6)).replaceAll("-", "−");
}

// A short form, for text fields and for reading aloud.
export function brief(value, digits = 4) {
  const number = Number(value.toPrecision(digits));
  const text = Math.abs(number) < 1e6 ? String(number) : number.toExponential().replace("e+", "e");
  return text.replaceAll("-", "−");
}
export const cut = (text) => (text.length > 12 ? `${text.slice(0, 11)}…` : text);

// A typed number; a decimal comma and a typographic minus are allowed. NaN if it is not a number.
export function typed(text) {
  const tidy = text.trim().replace(",", ".").replaceAll("−", "-");
  return tidy === "" ? NaN : Number(tidy);
}

// A length in a picture, limited so that a path has no exponents and no infinity.
export const short = (number) => Math.min(1e6, Math.max(-1e6, number)).toFixed(1);
