"""Control of the hand: pure mathematics and a pure state machine. No input, no output, no clock of its own."""
