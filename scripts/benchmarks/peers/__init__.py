"""The others that are measured beside Klausel, how they are got, and what they are asked in their own languages."""
