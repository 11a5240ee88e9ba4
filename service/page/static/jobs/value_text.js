/** Any value of a JSON object as a short text for people. */
import { count } from "../format.js";

export function valueText(value) {
  if (value === null || value === undefined) return "–";
  if (value === true) return "yes";
  if (value === false) return "no";
  if (typeof value === "number") return Number.isInteger(value) ? count(value) : String(Number(value.toPrecision(4)));
  if (Array.isArray(value)) return value.length ? value.map(valueText).join(", ") : "none";
  if (typeof value === "object") {
    const given = Object.entries(value).filter(([, one]) => one !== null && !(Array.isArray(one) && !one.length));
    return given.length ? given.map(([name, one]) => `${name} ${valueText(one)}`).join("; ") : "all";
  }
  return value;
}
