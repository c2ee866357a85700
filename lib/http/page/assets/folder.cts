// CommonJS in both builds, since only there a file can tell where it is.
export = __dirname;
