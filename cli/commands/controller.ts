import { Command, InvalidArgumentError, Option } from 'commander';
import { type LogLevel, logLevels } from '../../controller/config.ts';
import { durationPattern, imagePattern, labelPattern, longestImage } from '../../crds/metadata.ts';
import { parseDuration } from '../../controller/core/duration.ts';
import { type ArtifactOptions, artifactOptions } from '../artifact-options.ts';
import type { Cli } from '../io.ts';
import { hostOption, readPort, readStepLimit } from './up.ts';

export interface ControllerCommandOptions extends ArtifactOptions {
  artifactUrl?: string;
  artifactImage?: string;
  namespaces?: string[];
  allowPrivilegedSteps: string[];
  allowPrivateHttp: string[];
  stepImage?: string;
  maxStepsPerNamespace?: number;
  runTtl: number;
  runHistory: number;
  port: number;
  host: string;
  data: string;
  logLevel?: LogLevel;
}

export function controllerCommand(cli: Cli): Command {
  const command = new Command('controller')
    .summary('serve a Kubernetes cluster until it is told to stop')
    .description(
      'The controller of a cluster: objects are those of the Kubernetes API, steps are Pods, history is kept in the Postgres of ' +
        '$DATABASE_URL. It finds the API server as a Pod does, else by $KUBECONFIG. Any number of them may run at once. SIGTERM ends ' +
        'it in good order: another, or the next one, goes on with what runs.',
    )
    .addOption(
      new Option('--namespaces <names>', 'the namespaces to serve, by commas (default: all)').argParser(readNamespaces),
    )
    .addOption(
      new Option(
        '--allow-privileged-steps <names>',
        'namespaces whose steps may ask for privileges: host paths and namespaces, privileged containers, capabilities',
      )
        .argParser(readNamespaces)
        .default([], 'none'),
    )
    .addOption(
      new Option('--allow-private-http <names>', 'namespaces whose http steps may reach private addresses')
        .argParser(readNamespaces)
        .default([], 'none'),
    )
    .addOption(
      new Option(
        '--max-steps-per-namespace <number>',
        'how many steps of one namespace run at once, those of all its runs together (default: any number)',
      ).argParser(readStepLimit),
    )
    .addOption(
      new Option('--step-image <image>', 'image of steps that name none (default: such steps fail)').argParser(
        readImage,
      ),
    )
    .addOption(
      new Option('--run-ttl <duration>', 'how long a WorkflowRun stays after its end; its history stays for good')
        .argParser(readDuration)
        .default(24 * 3_600_000, '24h'),
    )
    .addOption(
      new Option('--run-history <number>', 'how many finished WorkflowRuns of a workflow stay')
        .argParser(readCount)
        .default(100),
    )
    .addOption(new Option('--port <number>', 'port to listen on; 0 takes a free one').default(8080).argParser(readPort))
    .addOption(hostOption('address to listen on', '0.0.0.0'))
    .option('--data <folder>', 'folder of the mirrors of git repositories; it may be lost', '/var/lib/windlass');
  for (const option of artifactOptions('nowhere; steps with artifacts fail')) command.addOption(option);
  command
    .addOption(
      new Option('--artifact-url <url>', 'where Pods reach this controller, to bring and keep artifacts').argParser(
        readUrl,
      ),
    )
    .option(
      '--artifact-image <image>',
      'the image of this controller, which Pods of steps with artifacts run beside them',
    );
  return command
    .addOption(
      new Option('--log-level <level>', 'what to log on stderr (default: $WINDLASS_LOG_LEVEL, else info)').choices(
        logLevels,
      ),
    )
    .action(async (options: ControllerCommandOptions) => {
      const { serveCluster } = await import('../serve-cluster.ts');
      await serveCluster(cli, options);
    });
}

function readNamespaces(text: string): string[] {
  const names = text.split(',').map((name) => name.trim());
  const wrong = names.find((name) => !new RegExp(labelPattern).test(name));
  if (wrong !== undefined) throw new InvalidArgumentError(`"${wrong}" is not the name of a namespace.`);
  return names;
}

function readUrl(text: string): string {
  if (!/^https?:\/\//.test(text) || !URL.canParse(text)) {
    throw new InvalidArgumentError('It must be a URL such as http://windlass.windlass:8080.');
  }
  return text;
}

function readImage(text: string): string {
  if (text.length > longestImage || !new RegExp(imagePattern).test(text)) {
    throw new InvalidArgumentError(`"${text}" is not the name of an image.`);
  }
  return text;
}

function readDuration(text: string): number {
  if (!new RegExp(durationPattern).test(text)) {
    throw new InvalidArgumentError('It must be a duration such as 30m, 24h or 7d.');
  }
  return parseDuration(text);
}

function readCount(text: string): number {
  if (!/^[0-9]{1,6}$/.test(text)) throw new InvalidArgumentError('It must be a number from 0 to 999999.');
  return Number(text);
}
