"""`carla-rllib leaderboard`: how CARLA's own evaluator is started with a policy of this library."""

from __future__ import annotations

import argparse
import shlex

import yaml

from rllib_integration.cli.configurations import find_configuration, policy_path
from rllib_integration.cli.flags import add_configuration, add_output, require
from rllib_integration.driving.leaderboard import AGENT_FILE, LeaderboardDriver
from rllib_integration.driving.policies import find_policy
from rllib_integration.failures import report_failure

SUMMARY = "print how CARLA's Leaderboard evaluator is started with a policy"
EXAMPLES = """examples:
  carla-rllib leaderboard traffic traffic                the shipped policy, privileged
  carla-rllib leaderboard my.yaml ~/ray_results/carla_rllib/my --output my_agent.yaml"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_configuration(parser, "env_config.experiment.others.target_speed=8.0")
    parser.add_argument("policy", metavar="POLICY", help="a checkpoint, a run's folder, or a shipped policy")
    add_output(parser, "FILE", "the agent's configuration, which is written", "leaderboard_agent.yaml")


def run(arguments: argparse.Namespace) -> int:
    """Write the agent's configuration, check that it can drive, and print the evaluator's command.

    Returns:
        The exit status: 0, or 1 after an error of which a sentence was printed.
    """
    try:
        require("torch")
        output = arguments.output.expanduser().resolve()
        settings = {
            "configuration": str(find_configuration(arguments.configuration).resolve()),
            "policy": str(find_policy(policy_path(arguments.policy)).path),
            "overrides": list(arguments.overrides),
        }
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        LeaderboardDriver(output)
    except Exception as error:
        return report_failure(error)
    print(
        f"The agent's configuration: {output}\nIn the evaluator's folder, with its own PYTHONPATH, beside a simulator:"
    )
    words = [f"--agent={AGENT_FILE}", f"--agent-config={output}", "--track=MAP"]
    print(
        'python3 leaderboard/leaderboard_evaluator.py --routes="$ROUTES" --checkpoint=results.json '
        f"{' '.join(map(shlex.quote, words))}"
    )
    print('Version 1.0 also needs --scenarios="$SCENARIOS".')
    return 0
