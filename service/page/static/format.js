/** How numbers, times and names are written for people. */
const whole = new Intl.NumberFormat("en");
const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export const count = (number) => whole.format(number);

/** `plural(2, "record")` is "2 records". */
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

export const distance = (value) => value.toFixed(3);

/** In percent; what is not certain is never written as 0 % or 100 %. */
export function probability(value) {
  if (value === null || value === undefined) return "–";
  const percent = 100 * value;
  if (percent > 99 && value < 1) return "> 99 %";
  if (percent < 1 && value > 0) return "< 1 %";
  return `${Math.round(percent)} %`;
}

export const percent = (value, digits = 1) => `${(100 * value).toFixed(digits)} %`;

/** What is no time, as an address may have it, is shown as it is. */
export function time(iso) {
  if (!iso) return "";
  const moment = new Date(iso);
  return Number.isNaN(moment.getTime()) ? iso : dateTime.format(moment);
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
  return `${Math.round(seconds / 86_400)} days`;
}

export function bytes(number) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (number >= 1000 && unit < units.length - 1) [number, unit] = [number / 1000, unit + 1];
  return `${unit && number < 100 ? number.toFixed(1) : Math.round(number)} ${units[unit]}`;
}

export const degrees = (value) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(Math.round(value))}°`;

export const place = (latitude, longitude) =>
  latitude === null || latitude === undefined ? "" : `${latitude.toFixed(5)}, ${longitude.toFixed(5)}`;
