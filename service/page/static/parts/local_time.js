/** Times as a `datetime-local` field has them: this machine's clock, without a zone, to the second. */
export function toLocal(iso) {
  if (!iso) return "";
  const moment = new Date(iso);
  const shifted = new Date(moment - 60_000 * moment.getTimezoneOffset());
  return Number.isNaN(shifted.getTime()) ? "" : shifted.toISOString().slice(0, 19);
}

/** What is no time, such as one in a year of five digits, stays as it is: the service says what is wrong with it. */
export function fromLocal(text) {
  const moment = new Date(text);
  return Number.isNaN(moment.getTime()) ? text : moment.toISOString();
}

/** What to call the zone of this machine's clock, such as `GMT+1`. */
export const zoneName = () =>
  new Intl.DateTimeFormat("en", { timeZoneName: "short" }).formatToParts().find(isZone).value;

const isZone = ({ type }) => type === "timeZoneName";
