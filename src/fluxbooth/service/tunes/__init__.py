"""Tunes: trainings and their LoRAs."""
