// Percentiles, and numbers as people read them.

/** Median, 99th percentile and maximum. */
export function summary(values) {
  const sorted = Float64Array.from(values).sort();
  const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? null;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** Milliseconds. */
export function time(ms) {
  if (ms === null || ms === undefined) return "-";
  return ms < 10 ? ms.toFixed(1) : Math.round(ms).toLocaleString("en-US");
}

/** Bytes, in decimal units. */
export function size(bytes) {
  if (!bytes) return bytes === 0 ? "0" : "-";
  const units = ["B", "kB", "MB", "GB"];
  let at = 0;
  let value = bytes;
  for (; value >= 999.5 && at < units.length - 1; at += 1) value /= 1000;
  return `${value < 10 && at > 0 ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
}
