/** A value that JSON can hold. Everything stored, hashed or handed to an expression is one of these. */
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export type JsonObject = { [key: string]: JsonValue };
