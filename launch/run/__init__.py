"""Everything that runs a training: settings, rollouts, executors, the learner service and run folders."""
