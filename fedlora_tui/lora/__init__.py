"""Adapters and their training over one frozen base: torch, peft and transformers, and never Flower."""
