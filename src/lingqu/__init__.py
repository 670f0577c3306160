"""Lingqu 灵渠: compute on everyone's data together while every row stays at home."""
