"""Reinforcement learning that the sciences share: masked PPO, rollouts, beam and tree search."""
