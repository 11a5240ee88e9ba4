/** What keys do in the box editor. */
import { moved, resized } from "./box_geometry.js";
import { boxes, changeBox, image } from "./subject.js";

export const KEYS_HELP =
  "Draw with the mouse, zoom with the wheel. Keys: N adds a box, Tab goes to the next, arrows move it, Shift with " +
  "arrows resizes, Delete removes, + and − zoom, Enter searches.";

const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEP_PX = 2;
const FASTER = 4;
const PAN_PX = 60;

/**
 * @param editor what keys lead to: `add()`, `remove(key)`, `pan(dx, dy)`, `zoomIn()`, `zoomOut()`, `fit()`, `search()`,
 *   `onChanged(box, number)`, and the `scale`, because a step is as long on the screen whatever the zoom.
 */
export function handleBoxKey(event, editor) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const key = Number(event.target.dataset.box) || null;
  const direction = DIRECTIONS[event.key];
  if (direction && key) shift(key, direction, event, editor);
  else if (direction) editor.pan(-PAN_PX * direction[0], -PAN_PX * direction[1]);
  else if (event.key === "+" || event.key === "=") editor.zoomIn();
  else if (event.key === "-") editor.zoomOut();
  // Held down, only what moves and zooms goes on: the focus may be on another box already.
  else if (event.repeat) return;
  else if (event.key === "Delete" || event.key === "Backspace") key && editor.remove(key);
  else if (event.key === "n" || event.key === "N") editor.add();
  else if (event.key === "Enter") editor.search();
  else if (event.key === "0") editor.fit();
  else return;
  event.preventDefault();
}

/** Moves or resizes a box by a step; a key that is held down makes longer ones. */
function shift(key, [x, y], event, editor) {
  const index = boxes.value.findIndex((box) => box.key === key);
  const step = Math.max(1, Math.round(STEP_PX / editor.scale)) * (event.repeat ? FASTER : 1);
  const before = boxes.value[index];
  const area = event.shiftKey
    ? resized(before, "es", x * step, y * step, image.value)
    : moved(before, x * step, y * step, image.value);
  changeBox(key, area);
  editor.onChanged(area, index + 1);
}
