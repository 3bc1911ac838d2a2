/** To the worker. A template's source is sent once, later renders name it by number. */
export interface RenderRequest {
  id: number;
  template: number;
  source?: string;
  /** JSON. */
  vars: string;
  /** Templates that will not be named again. */
  forget?: number[];
}

/** From the worker, in the order of the requests. `worn`: it must be replaced before it renders anything else. */
export type RenderAnswer = { id: number; worn: boolean } & ({ text: string } | { problem: string });
