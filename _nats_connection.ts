/**
 * Connecting to a NATS server, with errors that say what to do.
 *
 * @module
 */

import {
  connect,
  credsAuthenticator,
  type NatsConnection,
  type NodeConnectionOptions,
} from "npm:@nats-io/transport-node@3.4.0";
import { describeError } from "./_describe.ts";
import { guardSockets } from "./_nats_socket.ts";
import { checkCount, checkFlag, checkString, wrongType } from "./_options.ts";
import { RuntimeError } from "./errors.ts";

export type { NatsConnection };

/** How a NATS server is reached: the NATS client's own options of these names. */
export interface NatsConnectionOptions {
  /** Where the servers of a cluster are, as `nats://host:4222`. Default: `127.0.0.1:4222`. */
  servers?: string | string[];
  /** A token, where the server asks for one. */
  token?: string;
  /** A user's name, with `pass`. */
  user?: string;
  /** The user's password. */
  pass?: string;
  /** The text of a credentials file (`.creds`): a JWT and its key. */
  credentials?: string;
  /** TLS: files by their paths, or their texts. Default: as the server asks. */
  tls?: NatsTlsOptions | null;
  /** The connection's name, which the server's monitoring shows. */
  name?: string;
  /** How long a first connection may take in milliseconds. Default: 20,000. */
  timeout?: number;
  /** Whether a lost connection is made again. Default: `true`. */
  reconnect?: boolean;
  /** How often that is tried for each server; -1 for ever. Default: 10 for an executor, -1 for a node. */
  maxReconnectAttempts?: number;
  /** How long to wait between two tries in milliseconds. Default: 2,000. */
  reconnectTimeWait?: number;
}

/** Options of TLS: those of the NATS client. */
export interface NatsTlsOptions {
  /** The certificate authority's certificate: its file, or its text. */
  caFile?: string;
  /** See `caFile`. */
  ca?: string;
  /** The client's certificate: its file, or its text. */
  certFile?: string;
  /** See `certFile`. */
  cert?: string;
  /** The client's private key: its file, or its text. */
  keyFile?: string;
  /** See `keyFile`. */
  key?: string;
  /** Whether TLS comes before anything else, as the server may ask. */
  handshakeFirst?: boolean;
}

/** Texts among the options. */
const TEXTS = ["token", "user", "pass", "credentials", "name"] as const;

/**
 * Takes the options of a connection out of others.
 *
 * @throws {TypeError} If one has a wrong type.
 * @throws {RangeError} If a number is out of range.
 */
export function checkConnection(
  options: NatsConnectionOptions,
): NatsConnectionOptions {
  const { servers, tls, timeout, reconnect } = options;
  const { maxReconnectAttempts, reconnectTimeWait } = options;
  checkServers(servers);
  for (const name of TEXTS) checkString(name, options[name]);
  if (tls !== undefined && typeof tls !== "object") {
    throw wrongType("tls", "an object", tls);
  }
  checkCount("timeout", timeout);
  checkFlag("reconnect", reconnect, true);
  checkCount("maxReconnectAttempts", maxReconnectAttempts, -1);
  checkCount("reconnectTimeWait", reconnectTimeWait, 0);
  const checked: NatsConnectionOptions = {
    servers,
    tls,
    timeout,
    reconnect,
    maxReconnectAttempts,
    reconnectTimeWait,
  };
  for (const name of TEXTS) checked[name] = options[name];
  return checked;
}

function checkServers(servers: unknown): void {
  if (servers === undefined || typeof servers === "string") return;
  if (
    Array.isArray(servers) && servers.every((one) => typeof one === "string")
  ) return;
  throw wrongType("servers", "a string, or an array of strings", servers);
}

/**
 * Connects.
 *
 * @throws {RuntimeError} If that fails; its message says where to, and why.
 */
export async function connectTo(
  options: NatsConnectionOptions,
): Promise<NatsConnection> {
  const { credentials, tls, ...rest } = options;
  const given = Object.entries(rest).filter(([, value]) => value !== undefined);
  const client: NodeConnectionOptions = {
    ...Object.fromEntries(given),
    ...(tls === undefined ? {} : { tls }),
    ...(credentials === undefined ? {} : {
      authenticator: credsAuthenticator(new TextEncoder().encode(credentials)),
    }),
  };
  guardSockets();
  try {
    return await connect(client);
  } catch (error) {
    const why = whyRefused(error, tls != null);
    const told = hideSecrets(why);
    throw new RuntimeError(
      `Cannot connect to NATS at ${nameServers(options)}: ${told}`,
      told === why ? { cause: error } : undefined, // it would tell the rest
    );
  }
}

/** Takes users and passwords out of the URLs in a text. */
function hideSecrets(text: string): string {
  return text.replace(/(\/\/\[?)[^/@\s]*@/g, "$1");
}

/** Where the servers are, for messages; without what is secret. */
export function nameServers({ servers }: NatsConnectionOptions): string {
  const list = servers === undefined ? "127.0.0.1:4222" : servers;
  return [list].flat().map((one) => one.replace(/^([a-z]+:\/\/)?.*@/, "$1"))
    .join(", ");
}

function whyRefused(error: unknown, hasTls: boolean): string {
  const text = describeError(error);
  const cause = error instanceof Error && error.cause !== undefined
    ? ` (${describeError(error.cause)})`
    : "";
  const why = `${text}${cause}`;
  if (/refused|ECONNREFUSED/i.test(why)) {
    return `the connection was refused: start a server there with "nats-server -js", or set "servers"; ${why}`;
  }
  if (/authori[sz]ation|authentication/i.test(why)) {
    return `the server does not accept who asks: set "token", "user" and "pass", or "credentials"; ${why}`;
  }
  if (/tls|ssl|certificate|secure/i.test(why)) {
    return `the server has no TLS, or asks for it, or for other certificates: see "tls"; ${why}`;
  }
  // A server tells that it does not take a client's certificate when the client
  // believes that TLS is made; the client then waits until its time is over.
  if (hasTls && /timeout|EPIPE|ECONNRESET/i.test(why)) {
    return `the server does not answer, or asks for other certificates: see "tls"; ${why}`;
  }
  return why;
}
