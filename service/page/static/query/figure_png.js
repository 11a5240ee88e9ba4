/** The answer as a picture, laid out as Fig. 6 of the paper: the query at the left, its first ten matches in a row. */
import { call } from "../api/client.js";
import { distance } from "../format.js";
import { imageUrl } from "../parts/picture.js";
import { areaOf } from "./crop.js";
import { judgementsOf } from "./judgements.js";

const MOST_MATCHES = 10;
/** A canvas has no room for many more. */
export const MOST_ROWS = 50;
const CELL_PX = 160;
const GAP_PX = 12;
const QUERY_GAP_PX = 36;
const LABEL_PX = 30;
const FRAME_PX = 5;
const COLOURS = {
  paper: "#ffffff",
  ink: "#14181f",
  photo: "#eceff3",
  query: "#1f5fd0",
  right: "#18a058",
  wrong: "#d93025",
  unknown: "#a6aebb",
};

/** @returns a PNG file. @throws Problem if the images cannot be had. */
export async function figurePng(result, judgements) {
  const answers = result.answers.filter((one) => !one.error).slice(0, MOST_ROWS);
  const identity = result.asked.record && (await call(`gallery/${result.asked.record}`)).identity;
  const numColumns = Math.min(MOST_MATCHES, Math.max(1, ...answers.map((one) => one.matches.length)));
  const canvas = document.createElement("canvas");
  canvas.width = 2 * GAP_PX + CELL_PX + QUERY_GAP_PX + numColumns * (CELL_PX + GAP_PX) - GAP_PX;
  canvas.height = GAP_PX + answers.length * (CELL_PX + LABEL_PX + GAP_PX);
  const context = canvas.getContext("2d");
  context.fillStyle = COLOURS.paper;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.font = "500 15px system-ui, sans-serif";
  context.textAlign = "center";
  context.imageSmoothingQuality = "high";
  for (const [row, answer] of answers.entries()) {
    const y = GAP_PX + row * (CELL_PX + LABEL_PX + GAP_PX);
    await drawRow(context, y, answer, judgementsOf(judgements, answer), identity);
  }
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

async function drawRow(context, y, answer, judged, identity) {
  const { image, area } = await queryPicture(answer);
  drawCell(context, GAP_PX, y, { image, area, colour: COLOURS.query, label: "query" });
  const matches = answer.matches.slice(0, MOST_MATCHES);
  const images = await Promise.all(matches.map((match) => load(match.image_url).catch(() => null)));
  for (const [index, match] of matches.entries()) {
    const x = GAP_PX + CELL_PX + QUERY_GAP_PX + index * (CELL_PX + GAP_PX);
    const colour = COLOURS[verdict(match, judged[match.id], identity)];
    drawCell(context, x, y, { image: images[index], colour, label: distance(match.distance) });
  }
}

/** What the user says goes before what the identities say. */
function verdict(match, judgement, identity) {
  if (judgement) return judgement;
  if (!identity || !match.identity) return "unknown";
  return match.identity === identity ? "right" : "wrong";
}

/** The query's own picture; its aligned view where the browser cannot show the file. */
async function queryPicture({ subject, query }) {
  if (subject.image?.element) return { image: subject.image.element, area: areaOf(subject) };
  const lost = () => (query.aligned_view ? fromUrl(query.aligned_view) : null);
  return { image: subject.record ? await load(`gallery/${subject.record}/image`).catch(lost) : await lost() };
}

function drawCell(context, x, y, { image, area, colour, label }) {
  context.fillStyle = COLOURS.photo;
  context.fillRect(x, y, CELL_PX, CELL_PX);
  if (image) {
    const part = area ?? { x: 0, y: 0, width: image.naturalWidth, height: image.naturalHeight };
    const scale = Math.min(CELL_PX / part.width, CELL_PX / part.height);
    const [width, height] = [part.width * scale, part.height * scale];
    const [left, top] = [x + (CELL_PX - width) / 2, y + (CELL_PX - height) / 2];
    context.drawImage(image, part.x, part.y, part.width, part.height, left, top, width, height);
  }
  context.strokeStyle = colour;
  context.lineWidth = FRAME_PX;
  context.strokeRect(x + FRAME_PX / 2, y + FRAME_PX / 2, CELL_PX - FRAME_PX, CELL_PX - FRAME_PX);
  context.fillStyle = COLOURS.ink;
  context.fillText(label, x + CELL_PX / 2, y + CELL_PX + 20);
}

const load = async (path) => fromUrl(await imageUrl(path));

async function fromUrl(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}
