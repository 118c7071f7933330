/**
 * Certificates for tests of TLS, made by the command `openssl` in a temporary folder.
 *
 * @module
 */

/** Whether the command is there; tests that need it are ignored otherwise, and say so. */
export const hasOpenssl: boolean = isInstalled();

function isInstalled(): boolean {
  try {
    return openssl(["version"]);
  } catch {
    return false;
  }
}

function openssl(args: string[]): boolean {
  const command = new Deno.Command("openssl", {
    args,
    stdout: "null",
    stderr: "null",
  });
  return command.outputSync().success;
}

/** Two authorities; one has signed those of a server and a client, the other a client's. */
export class Certificates implements Disposable {
  readonly #folder = Deno.makeTempDirSync({ prefix: "certificates-" });

  constructor() {
    Deno.writeTextFileSync(
      this.#path("extensions"),
      "basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1,DNS:localhost\n",
    );
    for (const authority of ["ca", "other"]) this.#certify(authority);
    this.#sign("server", "ca");
    this.#sign("client", "ca");
    this.#sign("stranger", "other");
  }

  /** The path of a certificate. */
  certificate(name: string): string {
    return this.#path(`${name}.pem`);
  }

  /** The path of its private key. */
  key(name: string): string {
    return this.#path(`${name}.key`);
  }

  #path(file: string): string {
    return `${this.#folder}/${file}`;
  }

  /** Makes an authority. */
  #certify(name: string): void {
    run(
      "req",
      "-x509",
      ...this.#withNewKey(name),
      "-out",
      this.certificate(name),
    );
  }

  #sign(name: string, authority: string): void {
    const request = this.#path(`${name}.csr`);
    run("req", "-new", ...this.#withNewKey(name), "-out", request);
    run(
      ...["x509", "-req", "-in", request, "-out", this.certificate(name)],
      ...["-CA", this.certificate(authority), "-CAkey", this.key(authority)],
      ...["-CAcreateserial", "-extfile", this.#path("extensions")],
    );
  }

  #withNewKey(name: string): string[] {
    return [
      ...["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
      ...["-nodes", "-keyout", this.key(name), "-subj", `/CN=${name}`],
    ];
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

function run(...args: string[]): void {
  if (!openssl(args)) {
    throw new Error(`Cannot make certificates: openssl ${args[0]} has failed`);
  }
}
