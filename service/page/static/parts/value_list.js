/** Several values in one field, with commas between them; one that has a comma itself stands in quotes, as in CSV. */

/** `Gate, north` and `bridge` are `"Gate, north", bridge`. */
export const listText = (values) => values.filter(Boolean).map(quoted).join(", ");

const quoted = (value) => (/,|^\s*"|^\s|\s$/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);

const VALUE = /\s*(?:"((?:[^"]|"")*)"\s*|([^,]*))(?:,|$)/g;

/** The values in a text; without the empty ones. */
export function listValues(text) {
  const values = [];
  for (const [, inQuotes, plain] of text.matchAll(VALUE)) values.push(inQuotes?.replaceAll('""', '"') ?? plain.trim());
  return values.filter(Boolean);
}
