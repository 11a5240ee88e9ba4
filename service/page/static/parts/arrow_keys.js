/** Moving between the cards of a grid by arrow keys: where the next one lies is seen, not counted. */

/** The element that a key leads to from `elements[index]`, or null if it leads nowhere. */
export function byArrowKey(key, elements, index) {
  if (key === "ArrowRight") return elements[index + 1] ?? null;
  if (key === "ArrowLeft") return elements[index - 1] ?? null;
  if (key === "Home") return elements[0] ?? null;
  if (key === "End") return elements.at(-1) ?? null;
  if (key === "ArrowDown") return nearestInRow(elements, index, 1);
  if (key === "ArrowUp") return nearestInRow(elements, index, -1);
  return null;
}

function nearestInRow(elements, index, step) {
  const from = elements[index].getBoundingClientRect();
  const isFurther = (box) => (step > 0 ? box.top >= from.bottom : box.bottom <= from.top);
  let best = null;
  let rowTop = null;
  for (let i = index + step; i >= 0 && i < elements.length; i += step) {
    const box = elements[i].getBoundingClientRect();
    if (!isFurther(box)) continue;
    rowTop ??= box.top;
    if (box.top !== rowTop) break;
    const offset = Math.abs(box.left - from.left);
    if (!best || offset < best.offset) best = { element: elements[i], offset };
  }
  return best?.element ?? null;
}
