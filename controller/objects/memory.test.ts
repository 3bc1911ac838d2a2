import { describeObjectStore } from '../../test/conformance/objects.ts';
import { systemClock } from '../runtime/clock.ts';
import { createMemoryObjects } from './memory.ts';

const objects = createMemoryObjects(systemClock);
describeObjectStore('memory', () => objects);
