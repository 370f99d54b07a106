#!/usr/bin/env python3
"""Machine images and instances on EC2 for training with CARLA and RLlib.

    python3 aws/aws_helper.py create-image --name CARLA_RLLIB --installation-scripts aws/install/install.sh \
        --instance-type g4dn.xlarge --region eu-west-1 --write-autoscaler dqn_example/dqn_autoscaler.yaml
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from aws import autoscaler_file, keys, security, utils
from aws.errors import AwsHelperError, RemoteCommandError
from aws.ssh import Connection, quoted

PROJECT_FILE = Path(__file__).resolve().parent.parent / "pyproject.toml"
"""Names the packages that training needs; installation scripts find it beside themselves."""

READY_MINUTES = 15.0
IMAGE_MINUTES = 60.0


class Helper:
    """One call of the program: the clients, what the user gave, and where output goes."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        # With --json, standard output holds nothing but the result.
        self.messages: IO[str] = sys.stderr if arguments.json else sys.stdout

    def __getattr__(self, name: str) -> Any:
        if name in ("ec2", "ssm"):
            self.__dict__[name] = utils.client(name, self.arguments.region)
            return self.__dict__[name]
        return getattr(self.arguments, name)

    def say(self, text: str) -> None:
        """Prints a line for a person."""
        print(text, file=self.messages, flush=True)

    def result(self, values: dict[str, Any] | list[dict[str, Any]]) -> None:
        """Prints what came out: as JSON if asked, else a line a value."""
        if self.arguments.json:
            print(json.dumps(values, indent=2))
            return
        for row in values if isinstance(values, list) else [values]:
            for key, value in row.items():
                print(f"{key + ':':20} {', '.join(value) if isinstance(value, list) else value}")
            if isinstance(values, list):
                print()

    def confirm(self, question: str) -> None:
        """Asks before something is lost; `--yes` answers."""
        if self.arguments.yes:
            return
        if not sys.stdin.isatty():
            raise AwsHelperError(f"{question} Nobody can answer here: say it with --yes.")
        if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
            raise AwsHelperError("Nothing was done.")

    def cidr(self) -> str:
        """From where SSH is allowed."""
        given = self.arguments.ssh_cidr
        return security.checked_cidr(given) if given else security.caller_cidr()

    def connection(self, instance: dict[str, Any]) -> Connection:
        """SSH to an instance, by the key pair that it was made with."""
        address = instance["public_ip"] or instance["private_ip"]
        if instance["state"] != "running" or not address:
            raise AwsHelperError(
                f"The instance {instance['instance_id']} is {instance['state']}, so it cannot be reached: "
                f"'aws_helper.py start --instance-id {instance['instance_id']}' starts it."
            )
        key_file = keys.private_key(self.arguments.key_name or instance["key_name"] or "")
        return Connection(address, key_file, instance["instance_id"], self.arguments.ssh_user)


def create_image(helper: Helper) -> None:
    """Installs everything on a new instance and makes an image of it."""
    missing = utils.missing_files(helper.installation_scripts)
    if missing:
        raise AwsHelperError(f"There is no installation script {', '.join(missing)}.")
    if helper.write_autoscaler:
        autoscaler_file.load(Path(helper.write_autoscaler))
    image, key_name, group_name = _plan(helper, helper.base_ami_id)
    if helper.dry_run:
        return
    instance_id, key_file, group = _launch(helper, image, key_name, group_name)
    try:
        address = _ready(helper, instance_id)
        with helper.connection(address) as connection:
            connection.put(PROJECT_FILE, f"/tmp/{PROJECT_FILE.name}")
            for script in helper.installation_scripts:
                _run_script(helper, connection, Path(script).expanduser(), [])
        helper.say("Stopping the instance, so that the image is whole ...")
        helper.ec2.stop_instances(InstanceIds=[instance_id])
        utils.wait_for(helper.ec2, "instance_stopped", "stopping", READY_MINUTES, InstanceIds=[instance_id])
        image_id = utils.create_image(helper.ec2, instance_id, helper.name)
        utils.wait_for(helper.ec2, "image_available", f"image {image_id}", IMAGE_MINUTES, ImageIds=[image_id])
    except BaseException as error:
        _stop_after_failure(helper, instance_id, error)
        raise
    if helper.write_autoscaler:
        region = helper.ec2.meta.region_name
        autoscaler_file.write_ids(Path(helper.write_autoscaler), image_id, [group], key_name, key_file, region)
        helper.say(f"{helper.write_autoscaler} now names the image, the security group and the key.")
    helper.result(
        {
            "image_id": image_id,
            "instance_id": instance_id,
            "key_name": key_name,
            "pem_file": str(key_file),
            "security_groups": [group],
        }
    )


def launch(helper: Helper) -> None:
    """Starts a new instance of an image."""
    image, key_name, group_name = _plan(helper, helper.ami_id)
    if helper.dry_run:
        return
    instance_id, key_file, _ = _launch(helper, image, key_name, group_name)
    try:
        instance = _ready(helper, instance_id)
    except BaseException as error:
        _stop_after_failure(helper, instance_id, error)
        raise
    helper.result(instance | {"pem_file": str(key_file)})


def start(helper: Helper) -> None:
    """Starts a stopped instance."""
    if _dry(helper, f"start {helper.instance_id}"):
        return
    helper.ec2.start_instances(InstanceIds=[helper.instance_id])
    helper.result(_ready(helper, helper.instance_id))


def stop(helper: Helper) -> None:
    """Stops an instance; its disk stays and goes on costing."""
    if _dry(helper, f"stop {helper.instance_id}"):
        return
    helper.ec2.stop_instances(InstanceIds=[helper.instance_id])
    utils.wait_for(helper.ec2, "instance_stopped", "stopping", READY_MINUTES, InstanceIds=[helper.instance_id])
    helper.result(utils.describe(helper.ec2, helper.instance_id))


def terminate(helper: Helper) -> None:
    """Ends an instance for good, its disk with it."""
    instance = utils.describe(helper.ec2, helper.instance_id)
    if _dry(helper, f"terminate {helper.instance_id} ({instance['name']}, {instance['type']})"):
        return
    helper.confirm(f"Terminate {helper.instance_id} ({instance['name']}, {instance['type']}) and delete its disk?")
    helper.ec2.terminate_instances(InstanceIds=[helper.instance_id])
    utils.wait_for(helper.ec2, "instance_terminated", "terminating", READY_MINUTES, InstanceIds=[helper.instance_id])
    helper.result(utils.describe(helper.ec2, helper.instance_id))


def list_instances(helper: Helper) -> None:
    """Lists the instances that this program made."""
    instances = utils.list_instances(helper.ec2)
    if not instances and not helper.json:
        helper.say(f"No instance of ours in {helper.ec2.meta.region_name}.")
        return
    helper.result(instances)


def info(helper: Helper) -> None:
    """Shows an instance, or one field of it."""
    instance = utils.describe(helper.ec2, helper.instance_id)
    values = instance | {"pem_file": str(keys.key_path(instance["key_name"])) if instance["key_name"] else None}
    if helper.field is None:
        helper.result(values)
        return
    if values[helper.field] is None:
        raise AwsHelperError(f"{helper.instance_id} is {instance['state']} and has no {helper.field}.")
    print(json.dumps(values[helper.field]) if helper.json else values[helper.field])


def put(helper: Helper) -> None:
    """Copies a file or a folder to an instance."""
    instance = utils.describe(helper.ec2, helper.instance_id)
    if _dry(helper, f"copy {helper.source} to {helper.target} on {helper.instance_id}"):
        return
    with helper.connection(instance) as connection:
        copied = connection.put(Path(helper.source).expanduser(), helper.target, helper.exclude)
    helper.result({"copied": copied})


def get(helper: Helper) -> None:
    """Copies a file or a folder from an instance."""
    instance = utils.describe(helper.ec2, helper.instance_id)
    if _dry(helper, f"copy {helper.source} on {helper.instance_id} to {helper.target}"):
        return
    with helper.connection(instance) as connection:
        copied = connection.get(helper.source, Path(helper.target).expanduser(), helper.exclude)
    helper.result({"copied": copied})


def execute(helper: Helper) -> None:
    """Copies a script to an instance and runs it there."""
    missing = utils.missing_files([helper.script])
    if missing:
        raise AwsHelperError(f"There is no script {helper.script}.")
    instance = utils.describe(helper.ec2, helper.instance_id)
    if _dry(helper, f"run {helper.script} on {helper.instance_id}"):
        return
    with helper.connection(instance) as connection:
        _run_script(helper, connection, Path(helper.script).expanduser(), helper.script_args)


def _plan(helper: Helper, image: str | None) -> tuple[str, str, str]:
    """Settles image, key pair and group, and says what they are."""
    if image is None:
        image = utils.base_ami(helper.ec2, helper.ssm)
    utils.root_device(helper.ec2, image)
    key_name = helper.key_name or helper.name
    group_name = helper.security_group_name or helper.name
    made = "Would make" if helper.dry_run else "Making"
    helper.say(
        f"{made} in {helper.ec2.meta.region_name}: an instance {helper.instance_type} '{helper.name}' of {image} "
        f"with an encrypted disk of {helper.volume_size} GB, key pair '{key_name}' ({keys.key_path(key_name)}), "
        f"security group '{group_name}' with SSH from {helper.cidr()}."
    )
    return image, key_name, group_name


def _launch(helper: Helper, image: str, key_name: str, group_name: str) -> tuple[str, Path, str]:
    key_file = keys.ensure_key_pair(helper.ec2, key_name)
    group = security.ensure_security_group(helper.ec2, group_name, helper.cidr())
    instance_id = utils.run_instance(
        helper.ec2,
        image,
        helper.name,
        helper.instance_type,
        key_name,
        group,
        helper.volume_size,
        helper.availability_zone,
        utils.read_user_data(helper.user_data),
        helper.spot,
    )
    helper.say(f"The instance is {instance_id}.")
    return instance_id, key_file, group


def _ready(helper: Helper, instance_id: str) -> dict[str, Any]:
    utils.wait_for(helper.ec2, "instance_running", "starting", READY_MINUTES, InstanceIds=[instance_id])
    utils.wait_for(helper.ec2, "instance_status_ok", "booting", READY_MINUTES, InstanceIds=[instance_id])
    return utils.describe(helper.ec2, instance_id)


def _run_script(helper: Helper, connection: Connection, script: Path, script_args: Sequence[str]) -> None:
    remote = f"/tmp/{script.name}"
    connection.put(script, remote)
    helper.say(f"Running {script.name} ...")
    connection.run(f"bash -l {quoted([remote, *script_args])}", helper.messages, sys.stderr)


def _stop_after_failure(helper: Helper, instance_id: str, error: BaseException) -> None:
    """Leaves nothing running, and names what still costs."""
    reason = "Interrupted" if isinstance(error, KeyboardInterrupt) else "Failed"
    try:
        helper.ec2.stop_instances(InstanceIds=[instance_id])
        state = "was stopped and kept for a look; its disk goes on costing"
    except Exception as stopping:
        state = f"could not be stopped ({stopping}) and MAY STILL RUN"
    print(
        f"{reason}: the instance {instance_id} {state}. Remove it with "
        f"'python3 aws/aws_helper.py terminate --instance-id {instance_id} --region {helper.ec2.meta.region_name}'.",
        file=sys.stderr,
        flush=True,
    )


def _dry(helper: Helper, what: str) -> bool:
    if helper.dry_run:
        helper.say(f"Would {what}.")
    return bool(helper.dry_run)


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return int(text)


ACTIONS: dict[str, Callable[[Helper], None]] = {
    "create-image": create_image,
    "start": start,
    "launch": launch,
    "info": info,
    "get": get,
    "put": put,
    "exec": execute,
    "stop": stop,
    "list": list_instances,
    "terminate": terminate,
}
FIELDS = ("public_ip", "pem_file", "private_ip", "state", "type", "image_id", "key_name", "availability_zone", "name")


def build_parser() -> argparse.ArgumentParser:
    """The command line: one sub-command an action, each with only the flags that it uses."""
    parser = argparse.ArgumentParser(prog="aws_helper.py", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    parsers = {}
    for action, function in ACTIONS.items():
        summary = (function.__doc__ or "").strip()
        parsers[action] = command = commands.add_parser(action, help=summary, description=summary)
        command.add_argument("--region", help="AWS region (default: as boto3 is configured)")
        command.add_argument("--json", action="store_true", help="print the result as JSON, all else on standard error")
        command.add_argument("--debug", action="store_true", help="show Python's traceback of a failure")
        command.add_argument("--yes", action="store_true", help="ask nothing")
        if action not in ("info", "list"):
            command.add_argument("--dry-run", action="store_true", help="say what would be done; change nothing")
        else:
            command.set_defaults(dry_run=False)
        if action in ("create-image", "launch"):
            _add_launch_flags(command)
        elif action != "list":
            command.add_argument("--instance-id", required=True, help="the instance")
        if action in ("get", "put", "exec", "create-image"):
            command.add_argument("--ssh-user", default="ubuntu", help="user on the instance (default: ubuntu)")
        if action in ("get", "put", "exec"):
            command.add_argument("--key-name", help="key pair (default: the instance's)")
        if action in ("get", "put"):
            command.add_argument("--source", default=".", help="what to copy (default: .)")
            command.add_argument("--target", default=".", help="where to (default: .)")
            command.add_argument("--exclude", nargs="*", default=[], help="patterns, at any depth, that stay behind")
    _add_own_flags(parsers)
    return parser


def _add_launch_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument("--name", default="CARLA_RLLIB", help="of image and instance (default: CARLA_RLLIB)")
    command.add_argument("--key-name", help="key pair, made if missing (default: --name)")
    command.add_argument("--security-group-name", help="security group, made if missing (default: --name)")
    command.add_argument("--ssh-cidr", help="addresses that may use SSH (default: this machine's only)")
    command.add_argument("--instance-type", default="t2.micro", help="default: t2.micro")
    command.add_argument("--volume-size", type=positive, default=150, help="disk in GB (default: 150)")
    command.add_argument("--availability-zone", help="for example eu-west-1a (default: AWS chooses)")
    command.add_argument("--user-data", help="script that the instance runs at its first boot")
    command.add_argument("--spot", action="store_true", help="a spot instance: cheaper, may be taken away")


def _add_own_flags(parsers: dict[str, argparse.ArgumentParser]) -> None:
    create = parsers["create-image"]
    create.add_argument("--base-ami-id", help="image to start from (default: the newest Deep Learning base image)")
    create.add_argument("--installation-scripts", nargs="*", default=[], help="scripts to run on it, in this order")
    create.add_argument("--write-autoscaler", metavar="FILE", help="put the new ids into this Ray cluster file")
    parsers["launch"].add_argument("--ami-id", required=True, help="image to launch")
    parsers["info"].add_argument("--field", choices=FIELDS, help="print this alone")
    parsers["exec"].add_argument("--script", required=True, help="script to run")
    parsers["exec"].add_argument("--script-args", nargs="*", default=[], help="its arguments")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Understands sub-commands and the flat spelling, in which the action may stand behind any flag.

    In the flat spelling a flag that the action does not use is ignored with a line, as ever.
    """
    parser = build_parser()
    words = list(words)
    if words and words[0].startswith("-") and words[0] not in ("-h", "--help"):
        index = next((index for index, word in enumerate(words) if word in ACTIONS), None)
        if index is not None:
            words.insert(0, words.pop(index))
    arguments, unknown = parser.parse_known_args(words)
    if not unknown:
        return arguments
    known_elsewhere = {option for command in _commands(parser).values() for option in command._option_string_actions}
    flags = [word.split("=")[0] for word in unknown if word.startswith("--")]
    strangers = [flag for flag in flags if flag not in known_elsewhere]
    if strangers or not flags:
        parser.error(f"unrecognized arguments: {' '.join(strangers or unknown)}")
    print(f"Note: '{arguments.action}' does not use {', '.join(flags)}.", file=sys.stderr)
    return arguments


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(groups[0].choices)


def main(words: Sequence[str] | None = None) -> int:
    """Runs one action.

    Returns:
        Exit status: 0, 1 for a failure, a remote command's own, or 130 when interrupted.
    """
    arguments = parse(sys.argv[1:] if words is None else words)
    try:
        with utils.explained(f"'{arguments.action}'"):
            ACTIONS[arguments.action](Helper(arguments))
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except RemoteCommandError as error:
        print(error, file=sys.stderr)
        return error.status
    except AwsHelperError as error:
        if arguments.debug:
            raise
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
