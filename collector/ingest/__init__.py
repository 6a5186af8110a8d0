"""From the streams into the trail and the register; acknowledged only after the commit."""
