/** Times as a `datetime-local` field has them: this machine's clock, without a zone, to the second. */
export function toLocal(iso) {
  if (!iso) return "";
  const moment = new Date(iso);
  return new Date(moment - 60_000 * moment.getTimezoneOffset()).toISOString().slice(0, 19);
}

export const fromLocal = (text) => new Date(text).toISOString();

/** What to call the zone of this machine's clock, such as `GMT+1`. */
export const zoneName = () =>
  new Intl.DateTimeFormat("en", { timeZoneName: "short" }).formatToParts().find(isZone).value;

const isZone = ({ type }) => type === "timeZoneName";
