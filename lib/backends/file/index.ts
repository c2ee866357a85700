export { FileBackend, type FileBackendOptions } from './file.js';
