/** The image that is searched for and the boxes on it. They outlive the view, until another image is opened. */
import { toast } from "../parts/toasts.js";
import { Store } from "../store.js";
import { newBox } from "./box_geometry.js";

/** Above this side an image is more likely a whole frame than a crop of one vehicle: the service warns from there. */
export const FRAME_SIDE_PX = 800;
export const MOST_BOXES = 256;

/** `{file, name, element, width, height}`; `element` is null if the browser cannot show the file. */
export const image = new Store(null);
/** Boxes in pixels of the upright image: `{key, x, y, width, height}`. */
export const boxes = new Store([]);
/** The key of the box that was touched last, or null. */
export const selectedKey = new Store(null);
/** Whether the box editor takes the wide column. */
export const isLarge = new Store(false);

let lastKey = 0;

export const isFrame = (opened) => Math.max(opened.width, opened.height) > FRAME_SIDE_PX;

/** Whether there is something to search for without asking: a whole frame without boxes is not meant as one vehicle. */
export const isReady = () => image.value !== null && (boxes.value.length > 0 || !isFrame(image.value));

let numOpened = 0;

/** Reads a file and puts it in the place of the image before; null if another was opened meanwhile. */
export async function openImage(file) {
  const number = ++numOpened;
  const opened = await read(file);
  if (number !== numOpened) return null;
  if (image.value?.url) URL.revokeObjectURL(image.value.url);
  boxes.set([]);
  selectedKey.set(null);
  isLarge.set(isFrame(opened));
  image.set(opened);
  return opened;
}

export function closeImage() {
  if (image.value?.url) URL.revokeObjectURL(image.value.url);
  boxes.set([]);
  image.set(null);
}

function read(file) {
  const url = URL.createObjectURL(file);
  const element = new Image();
  const name = file.name || "pasted image";
  return new Promise((resolve) => {
    element.onload = () =>
      resolve({ file, name, url, element, width: element.naturalWidth, height: element.naturalHeight });
    element.onerror = () => {
      URL.revokeObjectURL(url);
      resolve({ file, name, url: null, element: null, width: 0, height: 0 });
    };
    element.src = url;
  });
}

/** Adds a box and selects it; null if there are too many. */
export function addBox(area) {
  if (boxes.value.length >= MOST_BOXES) {
    toast(`At most ${MOST_BOXES} boxes can be searched for at once.`);
    return null;
  }
  const box = { key: ++lastKey, ...newBox(area, image.value) };
  boxes.set([...boxes.value, box]);
  selectedKey.set(box.key);
  return box;
}

export function changeBox(key, area) {
  boxes.set(boxes.value.map((box) => (box.key === key ? { ...box, ...area } : box)));
}

/** Takes a box away, and selects the one before it. */
export function removeBox(key) {
  const index = boxes.value.findIndex((box) => box.key === key);
  boxes.set(boxes.value.filter((box) => box.key !== key));
  selectedKey.set(boxes.value[Math.max(0, index - 1)]?.key ?? null);
}
