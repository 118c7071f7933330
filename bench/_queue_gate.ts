/**
 * A gate at which tasks wait that run in other processes: so a bench knows which
 * of them has the task, and kills it in the midst of it.
 *
 * @module
 */

const HOST = "127.0.0.1";

/** Who comes first waits until the end; all others are let through. */
export class QueueGate implements AsyncDisposable {
  /** To be given to `pass`. */
  readonly url: string;
  /** The process of the task that came first. */
  readonly first: Promise<number>;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #end = Promise.withResolvers<void>();

  constructor() {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.first = promise;
    let arrivals = 0;
    this.#server = Deno.serve(
      { hostname: HOST, port: 0, onListen: () => {} },
      async (request) => {
        const isFirst = arrivals++ === 0;
        resolve(Number(await request.text()));
        if (isFirst) await this.#end.promise;
        return new Response("open");
      },
    );
    this.url = `http://${HOST}:${this.#server.addr.port}/`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.resolve();
    await this.#server.shutdown();
  }
}
