// The image in three planes with the segmentation over it, by NiiVue.

import './vendor/niivue/niivue.js';

const {Niivue, NVImage} = globalThis.niivue;

export class Viewer {
  #niivue = new Niivue({
    backColor: [0, 0, 0, 1],
    crosshairColor: [1, 1, 1, 0.5],
    crosshairWidth: 0.25,
    crosshairWidthUnit: 'percent',
    dragAndDropEnabled: false,
    fontColor: [1, 0.85, 0.4, 1],
    isNearestInterpolation: true,
    logLevel: 'error',
    show3Dcrosshair: false,
    multiplanarShowRender: 0,
    loadingText: '',
  });

  /** Draws on a canvas; throws if the browser has no WebGL 2. */
  async attach(canvas) {
    if (!document.createElement('canvas').getContext('webgl2')) throw new Error('no WebGL 2');
    await this.#niivue.attachToCanvas(canvas);
    this.#niivue.setSliceType(this.#niivue.sliceTypeMultiplanar);
  }

  /** Shows an image in place of what was shown. */
  async show(file) {
    for (const volume of [...this.#niivue.volumes].reverse()) this.#niivue.removeVolume(volume);
    this.#niivue.addVolume(await NVImage.loadFromFile({file, name: file.name}));
  }

  /** Shows a segmentation over the image; colors: red, green and blue by label. */
  async cover(file, colors, opacity) {
    if (this.#niivue.volumes.length > 1) this.#niivue.removeVolume(this.#niivue.volumes[1]);
    const mask = await NVImage.loadFromFile({file, name: file.name, opacity});
    const entries = [[0, [0, 0, 0]], ...colors].sort(([a], [b]) => a - b);
    mask.setColormapLabel({
      R: entries.map(([, color]) => color[0]),
      G: entries.map(([, color]) => color[1]),
      B: entries.map(([, color]) => color[2]),
      A: entries.map(([label]) => (label === 0 ? 0 : 255)),
      I: entries.map(([label]) => label),
      labels: entries.map(() => ''),
    });
    this.#niivue.addVolume(mask);
  }

  set opacity(value) {
    if (this.#niivue.volumes.length > 1) this.#niivue.setOpacity(1, value);
  }
}
