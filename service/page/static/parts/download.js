/** Files to keep. They are fetched with the key, which a link cannot send. */
import { send } from "../api/client.js";

/** Hands a blob to the browser as a file named `name`. */
export function saveBlob(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export async function download(path, name) {
  const response = await send(path);
  saveBlob(await response.blob(), name);
}
