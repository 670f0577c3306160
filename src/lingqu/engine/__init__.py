"""The engine: interprets a plan's steps at one party, and the one exit through which results leave."""

from lingqu.engine.release import Release, ResultColumn

__all__ = ["Release", "ResultColumn"]
