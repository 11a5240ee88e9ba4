/** Tells the views that the gallery has changed, so that they read it again. */
import { Store } from "../store.js";

export const galleryVersion = new Store(0);

export const galleryChanged = () => galleryVersion.set(galleryVersion.value + 1);
