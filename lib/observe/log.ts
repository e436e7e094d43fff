/**
 * Log lines: one fact for each line, with stable keys. A library is silent unless its user hands
 * it a log.
 */

/** How much a line matters, from least to most. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
/** One of {@linkcode LOG_LEVELS}. */
export type LogLevel = typeof LOG_LEVELS[number];

/** The forms a line can have. */
export const LOG_FORMATS = ["text", "json"] as const;
/** One of {@linkcode LOG_FORMATS}. */
export type LogFormat = typeof LOG_FORMATS[number];

/** What a field may hold. A field that is undefined is left out. */
export type LogValue = string | number | bigint | boolean | null | undefined;
/** The facts of a line, by key. Keys are lower camel case and carry their unit. */
export type LogFields = Readonly<Record<string, LogValue>>;

/** Where facts worth knowing go. The message is constant text; what varies is in the fields. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Says nothing. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** What a log needs. */
export interface LogOptions {
  /** Lines below this level are dropped. */
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Takes one line, its newline included. */
  readonly write: (line: string) => void;
  /** Milliseconds since 1970, for the time of each line. */
  readonly wallMs: () => number;
}

/** A log that writes lines of text or JSON. */
export function createLog(options: LogOptions): Log {
  const lowest = LOG_LEVELS.indexOf(options.level);
  const format = options.format === "json" ? jsonLine : textLine;
  const at = (level: LogLevel) => (message: string, fields: LogFields = {}): void => {
    if (LOG_LEVELS.indexOf(level) < lowest) return;
    options.write(format(new Date(options.wallMs()).toISOString(), level, message, fields));
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** A log that adds `fields` to every line of `log`. */
export function withFields(log: Log, fields: LogFields): Log {
  return {
    debug: (message, more) => log.debug(message, { ...fields, ...more }),
    info: (message, more) => log.info(message, { ...fields, ...more }),
    warn: (message, more) => log.warn(message, { ...fields, ...more }),
    error: (message, more) => log.error(message, { ...fields, ...more }),
  };
}

type Format = (time: string, level: LogLevel, message: string, fields: LogFields) => string;

const textLine: Format = (time, level, message, fields) => {
  let line = `${time} ${level.toUpperCase().padEnd(5)} ${oneLine(message)}`;
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) line += ` ${key}=${textValue(value)}`;
  }
  return `${line}\n`;
};

const jsonLine: Format = (time, level, message, fields) => {
  const line: Record<string, unknown> = { time, level, message };
  for (const [key, value] of Object.entries(fields)) {
    // A field never hides what every line has.
    const name = Object.hasOwn(line, key) ? `${key}_` : key;
    line[name] = typeof value === "bigint" ? value.toString() : value;
  }
  return `${JSON.stringify(line)}\n`;
};

function textValue(value: Exclude<LogValue, undefined>): string {
  if (typeof value !== "string") return String(value);
  return /^[\w.:/@,+-]+$/.test(value) ? value : JSON.stringify(value);
}

function oneLine(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\x00-\x1f\x7f]/g, (c) => JSON.stringify(c).slice(1, -1));
}
