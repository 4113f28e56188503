"""What came of a search: leaderboard, report, comparisons, replays, export."""
