"""What runs under the system's Python, which alone has the distribution's auparse."""
