/** Comma-separated values as the service writes them: every cell quoted, nothing that a spreadsheet runs. */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠']/;

/** The rows, the first of which names the columns, as the text of a file; null is an empty cell. */
export const csvText = (rows) => rows.map((cells) => `${cells.map(cell).join(",")}\n`).join("");

function cell(value) {
  const text = typeof value === "string" && FORMULA.test(value) ? `'${value}` : String(value ?? "");
  return `"${text.replaceAll('"', '""')}"`;
}
