/** The matches and what was said of them, as a CSV file. */
import { csvText } from "../parts/csv.js";
import { boxText } from "./box_geometry.js";
import { judgementsOf } from "./judgements.js";

const COLUMNS = ["rank", "id", "identity", "distance", "probability", "judgement", "camera", "captured_at", "source"];

/** @returns the text of the file; of a query with several boxes, each line begins with its box. */
export function judgedCsv(result, judgements) {
  const hasBoxes = result.answers.length > 1;
  const rows = [hasBoxes ? ["box", ...COLUMNS] : COLUMNS];
  for (const answer of result.answers.filter((one) => !one.error)) {
    const judged = judgementsOf(judgements, answer);
    for (const match of answer.matches) {
      const cells = COLUMNS.map((name) => (name === "judgement" ? judged[match.id] : match[name]));
      rows.push(hasBoxes ? [boxText(answer.subject.box), ...cells] : cells);
    }
  }
  return csvText(rows);
}
