// Numbers and times as texts, with units, the same everywhere.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const one = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const known = (value) => value !== null && value !== undefined;

export const NONE = "–";
export const count = (value) => (known(value) ? whole.format(value) : NONE);
export const decimal = (value) => (known(value) ? one.format(value) : NONE);
export const percent = (value) => (known(value) ? `${one.format(100 * value)} %` : NONE);
export const rate = (value) => (known(value) ? (value < 100 ? one : whole).format(value) : NONE);
export const plural = (value, noun) => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
export const interval = (share) => (known(share) ? `${percent(share.share)} (${decimal(100 * share.low)} to ${decimal(100 * share.high)})` : null);

export function duration(seconds) {
  if (!known(seconds)) return NONE;
  if (seconds < 90) return `${whole.format(seconds)} s`;
  if (seconds < 5400) return `${whole.format(seconds / 60)} min`;
  if (seconds < 172800) return `${one.format(seconds / 3600)} h`;
  return `${one.format(seconds / 86400)} days`;
}

export function bytes(value) {
  if (!known(value)) return null;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  while (value >= 1024 && step + 1 < units.length) { value /= 1024; step += 1; }
  return `${step ? one.format(value) : value} ${units[step]}`;
}

export function moment(iso) {
  const date = new Date(iso);
  if (!iso || Number.isNaN(date.getTime())) return NONE;
  const two = (value) => String(value).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
