"""Models, losses and the pure functions behind them."""
