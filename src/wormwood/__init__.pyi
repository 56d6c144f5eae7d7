# ruff: noqa: I001 # in the order of __init__.py, which loads these names when they are asked for
from wormwood.launch.api import evaluate as evaluate, train as train, transfer as transfer
from wormwood.launch.run.agent_files import Agent as Agent, load_agent as load_agent, save_agent as save_agent
from wormwood.launch.run.evaluation import Evaluation as Evaluation
from wormwood.launch.run.exports import export as export
from wormwood.launch.run.training import Interrupted as Interrupted, Watcher as Watcher
from wormwood.launch.transfer.report import Report as Report
from wormwood.launch.inspect.film import write_film as write_film
from wormwood.errors import BadInput as BadInput
from wormwood.launch.distribute import distribute as distribute
from wormwood.envs.faces.stable_baselines3 import make_swimmers as make_swimmers
from wormwood.agents.stable_baselines3.accelerated.models import accelerate as accelerate
from wormwood.agents.stable_baselines3.trials import make_trials as make_trials
from wormwood.agents.stable_baselines3.on_policy import NCAPPolicy as NCAPPolicy
from wormwood.agents.stable_baselines3.td3 import NCAPTD3Policy as NCAPTD3Policy
from wormwood.agents.stable_baselines3.sac import NCAPSACPolicy as NCAPSACPolicy
from wormwood.agents.stable_baselines3.boosted import (
    BoostedA2C as BoostedA2C,
    BoostedAWR as BoostedAWR,
    BoostedPPO as BoostedPPO,
)
from wormwood.agents.stable_baselines3.boosted_dqn import BoostedDQN as BoostedDQN
from wormwood.agents.stable_baselines3.boosted_sac import BoostedSAC as BoostedSAC
from wormwood.agents.policies.forest_settings import ForestConfig as ForestConfig
from wormwood.agents.learning.boosted.settings import BoostingConfig as BoostingConfig
from wormwood.envs.bodies import Body as Body, load_body as load_body, swimmer as swimmer
from wormwood.envs.specs import ActionSpace as ActionSpace, SwimmerSpec as SwimmerSpec
from wormwood.envs.gymnasium_spec import GymnasiumSpec as GymnasiumSpec
from wormwood.envs.tasks import (
    Navigate as Navigate,
    Swim as Swim,
    SwimAtSpeed as SwimAtSpeed,
    Task as Task,
    forward_speed as forward_speed,
)
from wormwood.envs.task_table import task_from_name as task_from_name
from wormwood.envs.faces.bridges import SwimObservation as SwimObservation, SwimmerV5Observation as SwimmerV5Observation
from wormwood.envs.faces.dm_control import load_environment as load_environment
from wormwood.envs.randomness import stream as stream
from wormwood.envs.families.interfaces import (
    FamilyTask as FamilyTask,
    InnerStep as InnerStep,
    plain_layout as plain_layout,
)
from wormwood.envs.families.table import family_from_name as family_from_name, held_out_tasks as held_out_tasks
from wormwood.envs.families.trials import TrialSpec as TrialSpec, trial_from_name as trial_from_name
from wormwood.envs.faces.trials import TaskEnv as TaskEnv, Trial as Trial
from wormwood.agents.references.bandit_policies import BanditPolicy as BanditPolicy, thompson as thompson
from wormwood.agents.references.bandit_values import bayes_optimal_value as bayes_optimal_value
from wormwood.agents.references.playing import held_out_returns as held_out_returns
from wormwood.trees.forest import Forest as Forest
from wormwood.trees.config import TreeConfig as TreeConfig
from wormwood.trees.explanation import explain as explain
from wormwood.trees.compression import distil as distil
from wormwood.agents.policies.forest import forest_of as forest_of, forest_weights as forest_weights
from wormwood.agents.policies.features import make_feature_map as make_feature_map
from wormwood.launch.inspect.forest_source import visited_observations as visited_observations
from wormwood.agents.policies.interfaces import Policy as Policy
from wormwood.agents.policies.search_space import Parameter as Parameter, SearchSpace as SearchSpace
from wormwood.agents.learners import LearnerContext as LearnerContext, SampleRequirements as SampleRequirements
from wormwood.agents.learning.interfaces import Fragment as Fragment, Learner as Learner
from wormwood.agents.learning.evolution.fitness import candidate_returns as candidate_returns

__version__: str
