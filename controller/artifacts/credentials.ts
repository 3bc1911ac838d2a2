/** As every S3 client reads them. */
export interface S3Credentials {
  accessKeyId: string;
  secretAccessKey: string;
  /** Of temporary credentials; null: they are not. */
  sessionToken: string | null;
}
