"""What loyalty costs: rules, reading an account, backtests, redemptions."""
